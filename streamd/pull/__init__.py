"""What sources that answer only when asked have in common: windows, jobs, hints, zips; no vendor in it."""
