<?php
session_start();
echo $_SESSION['n'] ?? 'nothing';
