"""The SQL store: sqlite, PostgreSQL, MySQL and MariaDB, in the tables of NATS Streaming Server.

    store      the port: takes batches, answers reads, one transaction per batch
    plan       a batch as statements (pure), by what `contents` knows to be in the tables
    contents   what is in the tables, as far as writing needs to know it (pure)
    loading    all of that out of the tables
    rows       our records and the original's columns, one into the other (pure)
    reading    pages of messages, and the search for a moment
    sweeping   what is dead already leaves the tables, in small pieces, in the background
    lock       the row by which servers of a group agree on who writes
    tail       the latest messages, in memory
    schema     the tables themselves
    database   what a driver does; sqlite, postgres and mysql are the drivers
    source     -sql_source in the forms that the original takes

Why there is no ORM and no migration tool: the tables are those of a server that is not developed any more, there is one
version of them, and what a batch needs are a dozen statements whose failures have to be told apart one by one.
"""
