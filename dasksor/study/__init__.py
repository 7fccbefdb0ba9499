"""Studies: problems x systems x workers, measured, kept and shown."""
