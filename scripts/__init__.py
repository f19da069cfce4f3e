"""Programs for whoever builds or releases the service; the Makefile runs them, and the service imports none of them.

lock_files.py  the packages of a requirements file, with their hashes
audit.py       known vulnerabilities of all that is locked, and what could not be audited
sbom.py        the software bill of materials and the list of licences
"""
