"""Helpers that several tests of the emulator share."""
