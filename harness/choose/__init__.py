"""Weighs stored results against needs. Imported by commands; never imports runner or report."""
