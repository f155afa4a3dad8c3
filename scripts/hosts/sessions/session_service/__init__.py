"""The session service of a PHP node: one log of all sessions on the volume, committed in groups by one writer.

    records.py   what the log consists of: records, batches, the header of a segment
    volume.py    segments as files on the volume, and whether both bricks still have what is written
    entries.py   what is known of each id, in memory
    replay.py    the state of the log, and how it is read
    turns.py     which request has a session, and who waits for it
    writer.py    the one service that writes: takes the log over, commits, answers
    archive.py   sessions of a log as a tar archive, and back: for backups
    node.py      each node's service: between PHP, the writer and the log
    wire.py      what they say to each other

docs/session-log.md tells the rules, and docs/decisions/22-session-log.md why. Python's standard library alone:
it runs on machines as they are.
"""
