<?php
// No session at all.
echo 'here';
