"""What devices a host has, and what each can do."""
