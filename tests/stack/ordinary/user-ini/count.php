<?php
// Its settings are in .user.ini.
ini_set('php_cluster.folder', '/tmp');
echo visit(), ' ';
