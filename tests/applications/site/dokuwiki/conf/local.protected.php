<?php
// As DokuWiki itself has it; Debian's packages have another place.
$conf['savedir'] = './data';
