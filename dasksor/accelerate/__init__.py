"""Conjugate gradients preconditioned by SSOR, within one process."""
