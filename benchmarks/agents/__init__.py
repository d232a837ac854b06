"""Agents that operate the service: twenty tasks, each over the tools and over the command, with at most three calls."""
