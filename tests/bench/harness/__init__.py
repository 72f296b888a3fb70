"""Runs the generator against echo servers, and tells what came of it."""
