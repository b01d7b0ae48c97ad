"""Measures one broker hop without SSE, and the bare client libraries. Imported by commands; its workers are separate processes."""
