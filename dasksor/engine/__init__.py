"""Blocks, the course of a run, and the drivers that carry them out."""
