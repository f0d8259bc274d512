"""Batchtrail: LLM batches from an event log."""
