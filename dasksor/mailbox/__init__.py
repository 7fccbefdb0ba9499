"""Carriers of messages between hosts, and of orders and reports between hosts and monitor."""
