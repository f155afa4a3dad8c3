"""The programs that ask a PHP node's session service, or read and begin its log. The service itself is ../service/.

    records.py   what the log consists of: records, batches, the header of a segment
    volume.py    segments as files on the volume
    replay.py    how the log is read
    wire.py      what is said to the service
    ask.py       asks what a node's service knows
    archive.py   sessions of a log as a tar archive, and back: for backups
    begin.py     begins the log of a new volume
    live.py      all that is known while somebody writes; its IDs, for a change of the store

docs/session-log.md tells the rules, and docs/decisions/22-session-log.md why. Python's standard library alone:
it runs on machines as they are.
"""
