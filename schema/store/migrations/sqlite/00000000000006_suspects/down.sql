DROP TABLE suspects;
