<?php
echo ini_get('highlight.string');
