"""RecBole's command line with the plugin's models."""

import sys

if __name__ == "__main__":
    try:
        from recbole_painvrl.__main__ import main
    except KeyboardInterrupt:
        sys.exit("stopped before the command began")
    sys.exit(main(["run", *sys.argv[1:]]))
