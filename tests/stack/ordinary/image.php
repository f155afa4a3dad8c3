<?php
// What is said by mistake is taken back before a picture is sent.
if (isset($_GET['session'])) {
    session_start();
}
echo 'Notice: junk';
ob_clean();
header('Content-Type: image/gif');
echo base64_decode('R0lGODlhAQABAAAAACwAAAAAAQABAAA=');
