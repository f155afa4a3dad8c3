<?php
class Session {
    function session_start() {
        session_start();
        session_destroy();
    }
}
(new Session())->session_start();
echo 'destroyed';
