"""RecBole's command line with the plugin's models."""

import sys

from recbole_painvrl.commands.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
