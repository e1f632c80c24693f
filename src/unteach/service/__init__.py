"""What a company needs around forgetting: a store, a ledger, certificates that a stranger can check."""
