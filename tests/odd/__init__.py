"""Odd picture files: how people, cameras, microscopes and broken downloads write them, and what each must look like."""
