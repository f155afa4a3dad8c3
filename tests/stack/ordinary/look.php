<?php
// What the session holds, without a change to it.
session_start();
ksort($_SESSION);
echo json_encode($_SESSION, JSON_PARTIAL_OUTPUT_ON_ERROR);
