<?php
echo 'no session';
