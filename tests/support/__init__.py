"""What several test files need: helpers, imported as ``support.NAME``, and the fixtures of ``support.fixtures``."""
