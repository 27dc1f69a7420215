"""`python -m flowbench.cli`, the same program as `flowbench`."""

from flowbench.cli.app import main

main()
