<?php
echo session_status(), ' ', $_SESSION['n'] ?? 'nothing';
