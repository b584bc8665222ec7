"""Feeds that are read all the time: what stands between a link that never waits and the spool."""
