DROP TABLE set_aside_records;
DROP TABLE set_aside;
