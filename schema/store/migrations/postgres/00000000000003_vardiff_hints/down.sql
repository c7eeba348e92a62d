DROP TABLE vardiff_hints;
