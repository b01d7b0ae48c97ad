"""report.html, charts, tables and notebook output. Imported by commands; never imports runner."""
