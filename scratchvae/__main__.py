"""python -m scratchvae"""

import sys

from scratchvae.cli import main

sys.exit(main())
