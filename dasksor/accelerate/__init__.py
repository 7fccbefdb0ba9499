"""Krylov methods preconditioned by SSOR, within one process."""
