#!/bin/sh
# The image's: nothing that this container writes is for others.
umask 077
exec "$@"
