"""The Locust suite: thousands of clients, and the ledger of what each got."""
