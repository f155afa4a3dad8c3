<?php
echo gethostname();
