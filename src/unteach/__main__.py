"""`python -m unteach`."""

from unteach.cli import main

main()
