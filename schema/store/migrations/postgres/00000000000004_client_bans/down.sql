DROP TABLE client_bans;
