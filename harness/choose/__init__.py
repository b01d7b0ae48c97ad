"""Compares stored results with needs. Imported by commands; never imports runner or report."""
