<?php
// Appended to a page.
echo counted();
