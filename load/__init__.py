"""The Locust suite: thousands of clients, and a ledger of what each of them received."""
