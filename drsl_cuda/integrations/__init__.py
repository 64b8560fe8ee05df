"""The losses under the names and calls of other libraries."""
