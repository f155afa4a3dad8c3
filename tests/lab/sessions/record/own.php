<?php
session_set_save_handler(new class extends SessionHandler {
    function open($p, $n): bool {
        return true;
    }
    function close(): bool {
        return true;
    }
    function read($id): string {
        return 'who|s:4:"mine";';
    }
    function write($id, $data): bool {
        return true;
    }
    function create_sid(): string {
        return 'own';
    }
});
session_start();
echo $_SESSION['who'];
