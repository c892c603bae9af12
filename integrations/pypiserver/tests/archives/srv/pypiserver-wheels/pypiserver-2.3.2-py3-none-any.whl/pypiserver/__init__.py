"""What tests install in place of the package: it takes the same arguments and lists a folder."""
