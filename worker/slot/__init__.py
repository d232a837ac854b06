"""The Celery worker of one slot."""
