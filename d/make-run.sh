set -eu
cat >Makefile <<'END'
clean:
	rm -rf /usr
END
make clean
